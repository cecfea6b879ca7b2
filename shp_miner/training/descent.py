"""The smallest value of a smooth function of many variables: L-BFGS, which remembers a few steps instead of a matrix.

Source: J. Nocedal and S. J. Wright, Numerical Optimization, 2nd ed. (Springer 2006): algorithm 7.4 (two-loop
recursion), algorithm 7.5 (L-BFGS), equation 7.20 (the scale of the first guess) and algorithm 3.1 (backtracking line
search).

No sum goes through a linear-algebra library: those split sums among threads, so that the last bits depend on the
number of cores.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

#: A function's value and its gradient at a point.
Objective = Callable[[Vector], tuple[float, Vector]]

#: Steps that are remembered, the decrease that a step must have (algorithm 3.1's c), and how often a step is halved.
_REMEMBERED = 10
_DECREASE = 1e-4
_HALVINGS_MAX = 30


class Minimum(NamedTuple):
    """Where the descent ended: the point, the value there, the number of steps, and whether it converged."""

    point: Vector
    value: float
    steps: int
    converged: bool


def minimize(objective: Objective, start: Vector, *, steps_max: int, tolerance: float) -> Minimum:
    """Return the lowest point that at most `steps_max` steps from `start` find.

    The descent has converged when no entry of the gradient is larger than `tolerance`, or when no step along the
    direction lowers the value (the precision of the function is used up). A strictly convex function has one minimum;
    for it every step's curvature is positive, which the recursion needs. Steps of another curvature are not remembered.
    """
    point = start.astype(np.float64)
    value, gradient = objective(point)
    moves: deque[tuple[Vector, Vector, float]] = deque(maxlen=_REMEMBERED)
    for step in range(steps_max):
        if np.abs(gradient).max(initial=0.0) <= tolerance:
            return Minimum(point, value, step, converged=True)
        direction = -_times_inverse_hessian(gradient, moves)
        slope = dot(direction, gradient)
        if slope >= 0:  # rounding: begin again along the gradient
            moves.clear()
            direction, slope = -gradient, -dot(gradient, gradient)
        length = 1.0 if moves else min(1.0, 1.0 / np.sqrt(-slope))
        for _ in range(_HALVINGS_MAX):
            new_point = point + length * direction
            new_value, new_gradient = objective(new_point)
            if new_value <= value + _DECREASE * length * slope:
                break
            length /= 2
        else:
            return Minimum(point, value, step, converged=True)
        move, turn = new_point - point, new_gradient - gradient
        curvature = dot(move, turn)
        if curvature > 1e-10 * dot(turn, turn):
            moves.append((move, turn, curvature))
        point, value, gradient = new_point, new_value, new_gradient
    return Minimum(point, value, steps_max, bool(np.abs(gradient).max(initial=0.0) <= tolerance))


def dot(one: Vector, other: Vector) -> float:
    """Return the inner product of two vectors; the same bits whatever the number of cores."""
    return float((one * other).sum())


def _times_inverse_hessian(gradient: Vector, moves: deque[tuple[Vector, Vector, float]]) -> Vector:
    """Return the gradient times the remembered guess of the inverse Hessian (algorithm 7.4)."""
    product = gradient.copy()
    shares = []
    for move, turn, curvature in reversed(moves):
        share = dot(move, product) / curvature
        product -= share * turn
        shares.append(share)
    if moves:
        _, turn, curvature = moves[-1]
        product *= curvature / dot(turn, turn)
    for (move, turn, curvature), share in zip(moves, reversed(shares), strict=True):
        product += (share - dot(turn, product) / curvature) * move
    return product
