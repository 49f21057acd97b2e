// What a reader would trip over in the page as it is laid out now. Evaluated by look.py.
(async () => {
  const problems = [];
  const named = (el) => {
    const text = (el.alt || el.textContent || "").trim().replace(/\s+/g, " ").slice(0, 60);
    return `<${el.tagName.toLowerCase()}${el.className ? "." + el.className : ""}> ${text}`;
  };
  const few = (what, list) => {
    if (list.length) problems.push(`${what}: ${list.length}, first ${list[0]}`);
  };

  const images = [...document.images];
  await Promise.allSettled(images.map((image) => image.decode()));
  few("images that do not load", images.filter((i) => !i.naturalWidth).map(named));
  few("images without words", images.filter((i) => !i.alt).map(named));

  const width = document.documentElement.clientWidth;
  const scrolled = document.documentElement.scrollWidth;
  if (scrolled > width) {
    const held = (el) => {
      for (let up = el; up && up !== document.body; up = up.parentElement)
        if (getComputedStyle(up).overflowX !== "visible") return true;
      return false;
    };
    const wide = [...document.body.querySelectorAll("*")].filter(
      (el) => el.getBoundingClientRect().right > width + 1 && !held(el.parentElement));
    problems.push(`wider than the window: ${scrolled} of ${width} px` +
      (wide.length ? `, by ${named(wide[0])}` : ""));
  }

  const ids = [...document.querySelectorAll("[id]")].map((el) => el.id);
  few("identifiers that stand twice", ids.filter((id, place) => ids.indexOf(id) !== place));
  const links = [...document.querySelectorAll("a[href^='#']")];
  few("links to nowhere in the page", links
    .filter((a) => !document.getElementById(decodeURIComponent(a.hash.slice(1)))).map(named));
  const offered = [...document.querySelectorAll("a[download]")];
  const empty = [];
  for (const a of offered) {
    try {
      if (!(await (await fetch(a.href)).blob()).size) empty.push(named(a));
    } catch (error) { empty.push(named(a)); }
  }
  few("downloads without content", empty);

  const closed = [...document.querySelectorAll("details:not([open])")];
  const shut = closed.filter((d) => [...d.children].slice(1).every((el) => !el.checkVisibility(
    { contentVisibilityAuto: true })));
  return {
    problems, width,
    height: document.documentElement.scrollHeight,
    images: images.length, links: links.length, downloads: offered.length,
    closed: closed.length, shut: shut.length,
  };
})()
