"""What is remembered in memory, against a slow model."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pyreg.content.memory import Memory

calls = st.lists(
    st.tuples(st.sampled_from(["put", "get", "forget"]), st.integers(0, 6), st.integers(0, 40))
)


@given(calls, st.integers(0, 100))
def test_against_a_model(steps: list[tuple[str, int, int]], budget: int) -> None:
    """Never more than the budget; the least recently used go first; nothing is made up."""
    memory: Memory[int, int] = Memory(budget)
    model: list[tuple[int, int, int]] = []  # (key, value, cost), least recently used first
    for number, (step, key, cost) in enumerate(steps):
        known = [entry for entry in model if entry[0] == key]
        rest = [entry for entry in model if entry[0] != key]
        if step == "put":
            memory.put(key, number, cost)
            model = rest
            if cost <= budget // 4:
                model.append((key, number, cost))
                while sum(entry[2] for entry in model) > budget:
                    model.pop(0)
        elif step == "get":
            assert memory.get(key) == (known[0][1] if known else None)
            model = rest + known
        else:
            memory.forget(key)
            model = rest
        assert len(memory) == len(model)
        assert memory.size == sum(entry[2] for entry in model) <= budget
