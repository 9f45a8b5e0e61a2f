"""Gives a network in OpenVINO's form a memory: the graph of single frames, extended where its contexts are made.

So one file serves single frames and videos of every T, and the int8 network that was calibrated on single frames serves
videos, too: its ranges hold, as a mean of contexts lies within those of its frames. What is computed is what
fanet_ros.model.temporal computes. Nothing here imports torch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fanet_ros.backends.openvino.loading import import_openvino
from fanet_ros.errors import BackendError

STATE_INPUT, STATE_OUTPUT = "state", "next_state"  # as in fanet_ros.model.graph
_CONTEXT_ROWS = 32  # network.ATTENTION_CHANNELS
_STAGES = (1, 2, 4, 8)  # channels of the stages, the shallowest first, as multiples of its own


def state_size(model: Any) -> int:
    """Return how many numbers are kept of one past frame, as network.state_size.

    Args:
        model: a network for single frames as OpenVINO reads it, of any size.

    Raises:
        BackendError: it is not built as expected.
    """
    return sum(_lengths(_find_contexts(model)))


def add_state(model: Any, temporal_frames: int) -> None:
    """Give a network the input `state` and the output `next_state`, both float32 (N, T - 1, state_size), in place.

    Args:
        model: a network for single frames as OpenVINO reads it, reshaped to a fixed input of N frames.
        temporal_frames: T, at least 2.

    Raises:
        BackendError: it is not built as expected.
    """
    contexts = _find_contexts(model)
    lengths = _lengths(contexts)
    ops = import_openvino().opset13
    batch, past = model.input(0).shape[0], temporal_frames - 1
    state = ops.parameter([batch, past, sum(lengths)], np.float32, name=STATE_INPUT)
    state.output(0).set_names({STATE_INPUT})

    rows = ops.constant(np.array([1]))
    # (N, size); what was not seen yet is zero
    total = ops.squeeze(state, rows) if past == 1 else ops.reduce_sum(state, rows, keep_dims=False)
    parts = ops.variadic_split(total, rows, np.array(lengths))
    frames = ops.unsqueeze(ops.add(parts.output(0), np.float32(1)), rows)  # (N, 1, 1)
    newest = [ops.constant(np.ones((batch, 1), np.float32)).output(0)]
    for index, context in enumerate(contexts, 1):
        consumers = list(context.get_target_inputs())  # before the mean becomes one of them
        shape = np.array([batch, _CONTEXT_ROWS, _channels(context)])
        past_sum = ops.reshape(parts.output(index), shape, special_zero=False)
        mean = ops.divide(ops.add(context, past_sum), frames)
        for consumer in consumers:
            consumer.replace_source_output(mean.output(0))
        flat = ops.reshape(context, np.array([batch, lengths[index]]), special_zero=False)
        newest.append(flat.output(0))
    following = ops.unsqueeze(ops.concat(newest, axis=1), rows)  # (N, 1, size)
    if past > 1:
        kept = ops.slice(state, np.array([0]), np.array([past - 1]), np.array([1]), rows)  # the oldest one is gone
        following = ops.concat([following, kept], axis=1)
    result = ops.result(following, name=STATE_OUTPUT)
    following.output(0).set_names({STATE_OUTPUT})
    model.add_parameters([state])
    model.add_results([result])
    model.validate_nodes_and_infer_types()


def _find_contexts(model: Any) -> list[Any]:
    """Return the outputs that hold K^T V of the stages, (N, 32, C), the shallowest first."""
    products = [op.output(0) for op in model.get_ordered_ops() if op.get_type_name() == "MatMul"]
    contexts = sorted((output for output in products if _is_context(output)), key=_channels)
    found = [_channels(context) for context in contexts]
    if not found or found != [found[0] * stage for stage in _STAGES]:
        raise BackendError(
            f"this network cannot look back at earlier frames: of its {len(products)} matrix products {len(found)} are "
            f"contexts K^T V, of {found} channels; expected {len(_STAGES)}, each of twice the channels of the one "
            "before. Use another precision, or temporal_frames 1"
        )
    return contexts


def _lengths(contexts: list[Any]) -> list[int]:
    """How many numbers the parts of a state have: whether there was a frame, and its contexts."""
    return [1, *(_CONTEXT_ROWS * _channels(context) for context in contexts)]


def _is_context(product: Any) -> bool:
    shape = product.get_partial_shape()
    return len(shape) == 3 and shape[1].is_static and shape[1].get_length() == _CONTEXT_ROWS and shape[2].is_static


def _channels(context: Any) -> int:
    channels: int = context.get_partial_shape()[2].get_length()
    return channels
