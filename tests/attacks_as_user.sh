#!/bin/sh
# Run tests as an ordinary user, on a copy: sh tests/attacks_as_user.sh [pytest arguments].  Needs root, to become one.
# Where the interpreter of the environment is closed to others (a home of root), the system's python3 of the same
# version takes its place; the installed packages are linked, not installed again.
set -eu
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "attacks_as_user.sh: run it as root, or run pytest as the user that you are" >&2; exit 2; }
python=${VENV:-.venv}/bin/python
user=60999
as_user() { setpriv --reuid $user --regid $user --clear-groups --inh-caps=-all --no-new-privs "$@"; }

folder=$(mktemp -d /tmp/as-user-XXXXXX)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
mkdir "$folder/course" "$folder/home"
base=$("$python" -c 'import sys; print(sys._base_executable)')
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
for candidate in "$base" "/usr/bin/python$version"; do
    as_user env "$candidate" -c "import venv" 2>/dev/null && chosen=$candidate && break
done
[ -n "${chosen:-}" ] || { echo "attacks_as_user.sh: no python$version that others may run; apt-get install python3-venv" >&2; exit 2; }
"$chosen" -m venv --without-pip "$folder/venv"
installed=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
rm -rf "$folder/venv/lib/python$version/site-packages"
cp -al "$installed" "$folder/venv/lib/python$version/" 2>/dev/null || cp -a "$installed" "$folder/venv/lib/python$version/"
mkdir -p "$folder/venv/share"
cp -a "${VENV:-.venv}/share/jupyter" "$folder/venv/share/"  # templates of the feedback's pages
chmod -R a+rX "$folder/venv"
for name in autograder datasets exercise_code exercises leaderboard solutions tests pyproject.toml requirements.txt README.md Makefile; do
    cp -a "$name" "$folder/course/"
done
chmod -R a+rX "$folder/course"
chown -R $user:$user "$folder/course" "$folder/home"
# alembic and others are started by name
for name in alembic jupyter; do
    printf '#!/bin/sh\nexec "%s" -m %s "$@"\n' "$folder/venv/bin/python" "$name" >"$folder/venv/bin/$name"
    chmod 755 "$folder/venv/bin/$name"
done
cd "$folder/course"
as_user env -i HOME="$folder/home" PATH="$folder/venv/bin:/usr/local/bin:/usr/bin:/bin" LANG=C.UTF-8 CI="${CI:-}" \
    "$folder/venv/bin/python" -m pytest -p no:cacheprovider "$@"
