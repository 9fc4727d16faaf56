"""Release, collect, grade, score and publish a notebook course; `python -m autograder --help` lists the verbs."""

import sys

# jsonschema, under every notebook tool, would compile a grammar of web addresses when it is imported: two seconds for a
# format that no notebook has. It does without where the module is missing.
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
