# SPDX-License-Identifier: MIT
"""Work on a GPU that is launched anew as one CUDA graph."""

import gc
from collections.abc import Callable, Sequence

import torch

# Times that work is done as it is written, in which libraries allocate what they need.
WARM_UP = 3


class Recording:
    """Does the same work again and again: recorded once on a GPU, then replayed.

    A step of a small network is a hundred kernels, each over sooner than Python launches the next;
    a graph is launched as one. Replayed draws are those that the work would make by itself.

    Parameters
    ----------
    work : callable
        Reads and writes tensors that stay where they are, and waits for nothing. What changes from
        one time to the next must be in such a tensor: numbers are recorded as they are.
    generators : sequence of torch.Generator
        All that it draws with.
    """

    def __init__(self, work: Callable[[], None], generators: Sequence[torch.Generator]) -> None:
        self._work, self._generators = work, generators
        self._n_done = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Do the work once more."""
        if self._n_done < WARM_UP:
            self._n_done += 1
            self._work()
            return
        if self._graph is None:
            self._graph = self._recorded()
        self._graph.replay()

    def _recorded(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        # A graph that the collector frees would end a recording under way.
        gc.collect()
        gc.disable()
        try:
            # Gives back what the work has left in the allocator's cache, and does nothing yet.
            with torch.cuda.graph(graph):
                self._work()
        finally:
            gc.enable()
        return graph
