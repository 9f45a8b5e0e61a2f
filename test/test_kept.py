from fanet_ros.backends.kept import KeptLast


def test_what_was_used_last_is_kept() -> None:
    made: list[str] = []
    kept: KeptLast[str, str] = KeptLast(2)

    def get(key: str) -> str:
        return kept.obtain(key, lambda: made.append(key) or key.upper())  # type: ignore[func-returns-value]

    assert [get(key) for key in "abab"] == ["A", "B", "A", "B"] and made == ["a", "b"]
    get("a")
    assert list(kept) == ["b", "a"]
    get("c")
    assert list(kept) == ["a", "c"] and kept["a"] == "A"
    get("b")
    assert list(kept) == ["c", "b"] and made == ["a", "b", "c", "b"]


def test_room_is_made_before_something_is() -> None:
    kept: KeptLast[int, int] = KeptLast(1)
    kept.obtain(1, lambda: 1)
    assert kept.obtain(2, lambda: len(kept)) == 0
    assert list(kept) == [2]
