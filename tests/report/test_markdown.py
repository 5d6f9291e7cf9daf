"""Words of others stay words in Markdown: read back by a reader of Markdown they are what they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semiretina.report.markdown import plain, row, section_markdown
from semiretina.report.section import Section, table


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a|b", r"a\|b"),
        ("`rm`", r"\`rm\`"),
        ("<script>alert(1)</script>", r"\<script>alert(1)\</script>"),
        ("**bold** ~~gone~~", r"\*\*bold\*\* \~\~gone\~\~"),
        ("![x](http://a.b/c.png)", r"![x]\(http://a.b/c.png)"),
        ("&lt; R&D", r"\&lt; R&D"),
        ("_leaning_ but mse_unlabeled", r"\_leaning\_ but mse_unlabeled"),
        ("two\nlines", "two lines"),
        ("c:\\eyes", r"c:\\eyes"),
        ("עין 0.91 [0.80, 0.95]", "עין 0.91 [0.80, 0.95]"),
    ],
)
def test_marks_lose_their_meaning_and_all_else_stays(text, written):
    assert plain(text) == written


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"])))
def test_what_is_escaped_reads_as_it_was(text):
    written, read, at = plain(text), "", 0
    while at < len(written):
        at += written[at] == "\\"  # a backslash before a mark says that it is none
        read += written[at]
        at += 1
    assert read == text


def test_a_row_keeps_its_cells_and_a_heading_its_line():
    assert row(["a|b", "`"]).replace("\\|", "").count("|") == 3
    lines = section_markdown(Section("run <b>\nx", [table("see `this`", ["", "n"], [["a|b", "1"]])]), 3).splitlines()
    assert lines[0] == r"### run \<b> x"
    assert lines[2:] == ["|  | n |", "| --- | ---: |", r"| a\|b | 1 |", "", r"see \`this\`"]
