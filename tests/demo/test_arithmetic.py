import re

from chatstore.demo.arithmetic import lessons


def test_each_answer_is_right_in_each_step():
    _, *messages = lessons()["messages"]
    assert len(messages) == 600
    for question, answer in zip(messages[::2], messages[1::2], strict=True):
        task = re.search(r"(\d+) × (\d+)\?", question["content"])
        left, right = map(int, task.groups())
        text = answer["content"].replace("*", "").replace("×", "*")
        if "zero" in text:
            step, result = text.split(", and a zero: ")
            assert int(result) == left * right
            text = step
        values = {eval(part) for part in text.split("=")}
        assert len(values) == 1
        assert values <= {left * right, left * right // 10}
