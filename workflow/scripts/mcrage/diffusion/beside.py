# SPDX-License-Identifier: MIT
"""Work on a GPU beside other work that it does not depend on."""

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

Value = Tensor | tuple[Tensor, ...]


class Beside:
    """Work on a stream of its own on a GPU, and the backward pass of it, by autograd.

    Small products fill no GPU, and what draws a batch is a chain of small kernels. What the work
    reads, but does not make itself, must outlive the backward pass: the allocator may give it away
    as soon as the stream that it was made on is done with it.

    Parameters
    ----------
    name : str
        Of the stream.
    like : Tensor
        Lies where the work is done.
    work : callable
        Returns a tensor, or a tuple of some.
    """

    _streams: ClassVar[dict[tuple[str, torch.device], "torch.cuda.Stream"]] = {}

    def __init__(self, name: str, like: Tensor, work: Callable[[], Value]) -> None:
        self._stream = None
        if like.is_cuda:
            key = (name, like.device)
            if key not in self._streams:
                self._streams[key] = torch.cuda.Stream(like.device)
            self._stream = self._streams[key]
        self._value = self._beside(work)

    def _beside(self, work: Callable[[], Value]) -> Value:
        if self._stream is None:
            return work()
        self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        with torch.cuda.stream(self._stream):
            return work()

    def then(self, work: Callable[[Value], Value]) -> "Beside":
        """Go on with what was there when this was called."""
        value = self._value
        self._value = self._beside(lambda: work(value))
        return self

    def result(self) -> Value:
        """Return what the work gave, for the present stream."""
        if self._stream is not None:
            present = torch.cuda.current_stream(self._stream.device)
            present.wait_stream(self._stream)
            # Its memory is not to be given to other work of its stream while it is read.
            parts = self._value if isinstance(self._value, tuple) else (self._value,)
            for part in parts:
                part.record_stream(present)
        return self._value
