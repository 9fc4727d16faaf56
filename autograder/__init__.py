"""Release, collect, grade, score and publish a notebook course; `python -m autograder --help` lists the verbs."""
