# SPDX-License-Identifier: MIT
"""An optimiser's step of all members as one kernel of a GPU, compiled when it is first wanted."""

import logging
from functools import cache

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

_THREADS = 256

# Members lie one after the other without gaps, so that a member's first number may lie between two
# places where four are read at once: `head` are those before the first such place, and with the
# rest at the end they are taken singly. Operations and their order are torch's fused kernel's.
_SOURCE = r"""
struct Rule {
    float scale, rate, step_size, spread, decay, residual_decay, taken;
    float learn_first, keep_second, learn_second, epsilon;
    int decoupled;
};

__device__ __forceinline__ void one(
    const Rule& rule, bool is_main, float& value, float gradient, float& first, float& second,
    float& average)
{
    const float decay = is_main ? rule.decay : rule.residual_decay;
    gradient *= rule.scale;
    if (rule.decoupled) value -= rule.rate * decay * value;
    else gradient += decay * value;
    first += rule.learn_first * (gradient - first);
    second = rule.keep_second * second + rule.learn_second * gradient * gradient;
    value -= rule.step_size * first / (sqrtf(second) / rule.spread + rule.epsilon);
    average += rule.taken * (value - average);
}

extern "C" __global__ void update(
    float* flat, const float* gradient, float* first, float* second, float* average,
    const float* scales, const float* rates, const float* decays, const float* residual_decays,
    const float* count, const float* factor, const float* taken,
    double beta1, double beta2, double epsilon,
    int size, int n_main, int decoupled, int averaged)
{
    __shared__ Rule rule;
    const int member = blockIdx.y;
    if (threadIdx.x == 0) {
        const double steps = count[0];
        rule.scale = scales[member];
        rule.rate = rates[member] * factor[0];
        rule.step_size = rule.rate / (float)(1.0 - pow(beta1, steps));
        rule.spread = (float)sqrt(1.0 - pow(beta2, steps));
        rule.decay = decays[member];
        rule.residual_decay = residual_decays[member];
        rule.taken = averaged ? taken[0] : 0.0f;
        // Of doubles: 1 - .999f has lost five digits.
        rule.learn_first = (float)(1.0 - beta1);
        rule.keep_second = (float)beta2;
        rule.learn_second = (float)(1.0 - beta2);
        rule.epsilon = (float)epsilon;
        rule.decoupled = decoupled;
    }
    __syncthreads();
    const long long start = (long long)member * size;
    const int head = min(size, (int)((4 - start % 4) % 4));
    const int n_fours = (size - head) / 4;
    const int place = blockIdx.x * blockDim.x + threadIdx.x;
    if (place < n_fours) {
        const int column = head + 4 * place;
        const long long i = (start + column) / 4;
        float4 p = ((float4*)flat)[i], m = ((float4*)first)[i], v = ((float4*)second)[i];
        const float4 g = ((const float4*)gradient)[i];
        float4 a = averaged ? ((float4*)average)[i] : p;
        one(rule, column < n_main, p.x, g.x, m.x, v.x, a.x);
        one(rule, column + 1 < n_main, p.y, g.y, m.y, v.y, a.y);
        one(rule, column + 2 < n_main, p.z, g.z, m.z, v.z, a.z);
        one(rule, column + 3 < n_main, p.w, g.w, m.w, v.w, a.w);
        ((float4*)flat)[i] = p;
        ((float4*)first)[i] = m;
        ((float4*)second)[i] = v;
        if (averaged) ((float4*)average)[i] = a;
    } else {
        const int single = place - n_fours;
        if (single >= size - 4 * n_fours) return;
        const int column = single < head ? single : single + 4 * n_fours;
        const long long i = start + column;
        float p = flat[i], m = first[i], v = second[i], a = averaged ? average[i] : p;
        one(rule, column < n_main, p, gradient[i], m, v, a);
        flat[i] = p;
        first[i] = m;
        second[i] = v;
        if (averaged) average[i] = a;
    }
}
"""


@cache
def _kernel(device: int):
    """Return the compiled kernel, or None where torch can't compile for this GPU."""
    try:
        with torch.cuda.device(device):
            return torch.cuda._compile_kernel(_SOURCE, "update")
    except (AttributeError, ImportError, OSError, RuntimeError) as error:
        logger.warning(
            "torch can't compile the update of all members for this GPU (%s); they are updated "
            "one after the other, which takes longer and gives the same",
            str(error).partition("\n")[0],
        )
        return None


class FusedUpdate:
    """Clips, updates and averages all members at once: each number is read and written once.

    Torch's fused update knows one rate a call, and a call for one member occupies a fraction of a
    GPU.

    Parameters
    ----------
    rates, decays, residual_decays : Tensor of float32, shape (M,)
    n_main : int
        The columns from here on decay by `residual_decays`.
    decoupled : bool
    betas : tuple of float
    epsilon : float
    """

    def __init__(
        self,
        rates: Tensor,
        decays: Tensor,
        residual_decays: Tensor,
        *,
        n_main: int,
        decoupled: bool,
        betas: tuple[float, float],
        epsilon: float,
    ) -> None:
        self._by_member = (rates, decays, residual_decays)
        self._n_main, self._decoupled = n_main, decoupled
        self._constants = (*betas, epsilon)
        self._kernel = _kernel(rates.device.index)
        self._unscaled = torch.ones_like(rates)

    @property
    def is_there(self) -> bool:
        """Whether it could be compiled."""
        return self._kernel is not None

    def __call__(
        self,
        flat: Tensor,
        gradient: Tensor,
        first: Tensor,
        second: Tensor,
        average: Tensor | None,
        scales: Tensor | None,
        count: Tensor,
        factor: Tensor,
        taken: Tensor,
    ) -> None:
        """Take a step.

        Parameters
        ----------
        flat, gradient, first, second : Tensor of float32, shape (M, P)
            Contiguous; all but the gradient are changed.
        average : Tensor of float32, shape (M, P), optional
            Moves to the parameters by `taken`.
        scales : Tensor of float32, shape (M,), optional
            Of the gradients; 1 if left out.
        count, factor, taken : Tensor of float32, shape ()
            Steps with this one; what rates are multiplied by.
        """
        n_members, size = flat.shape
        # Three more threads than fours at most, for those at the start and at the end.
        n_blocks = -(-(size // 4 + 6) // _THREADS)
        self._kernel(
            grid=(n_blocks, n_members, 1),
            block=(_THREADS, 1, 1),
            args=[
                *(flat, gradient, first, second, flat if average is None else average),
                self._unscaled if scales is None else scales,
                *self._by_member,
                *(count, factor, taken),
                *self._constants,
                *(size, self._n_main, int(self._decoupled), int(average is not None)),
            ],
        )
