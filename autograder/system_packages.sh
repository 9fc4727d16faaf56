#!/bin/sh
# Make sure that system packages are there: sh system_packages.sh [python] [bubblewrap] [chromium]
# Root on Debian or Ubuntu installs what is missing; anybody else gets the line to run, and the work goes on without.
missing=""
for name in "$@"; do
    case $name in
        python) "${PYTHON:-python3}" -c "import ensurepip" 2>/dev/null || missing="$missing python3-venv" ;;
        bubblewrap) command -v bwrap >/dev/null || missing="$missing bubblewrap" ;;
        chromium) command -v chromium >/dev/null || missing="$missing chromium" ;;
        *) echo "system_packages.sh: expected python, bubblewrap or chromium, got $name" >&2; exit 2 ;;
    esac
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null
    exit $?
fi
echo "Missing system packages:$missing"
echo "Run this line, then make again:  sudo apt-get install$missing"
echo "(bubblewrap is the sandbox for grading, Linux only; chromium is for the tests of the leaderboard's pages.)"
