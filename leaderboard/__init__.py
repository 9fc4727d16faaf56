"""Static leaderboard: reads one `scores.json`, writes a folder of plain files.

`leaderboard.build.build(scores_path, out_dir)` builds it; `python -m leaderboard` is the command line.
The package imports nothing else of this course, so a site can be built, tested and hosted alone.
"""
