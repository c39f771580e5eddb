"""The first example of docs/openai-wrapper.md, run as it is printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

from scripted_llm import Request, ScriptedLLM

PAGE = Path(__file__).parents[3] / "docs" / "openai-wrapper.md"


def test_the_first_example_answers_from_memory(llm: ScriptedLLM, tmp_path: Path) -> None:
    def remembering(request: Request) -> str:
        return "To Porto." if "Porto" in request.messages[0]["content"] else "I do not know."

    llm.answer(remembering)
    (code, *_) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    env = {**os.environ, "OPENAI_BASE_URL": llm.url, "OPENAI_API_KEY": "key"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "To Porto."), done.stderr
