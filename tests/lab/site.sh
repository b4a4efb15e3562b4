#!/bin/bash
# Writes the site file that makes the tool use the lab: its image for `ubuntu` and `debian`, the stand-in for Kubespray,
# and the folder with its Python packages.
#
#   tests/lab/site.sh KUBITECT_HOME
#
# The image is built and the stand-in's repository made if they are not there yet. The repository is made of the plain
# folder tests/stand-in; the same files give the same commits, and changed files another path, so that nobody's
# checkout of an older stand-in is taken for the new one.

. "$(dirname "$0")/common.sh"

home=${1:-}
if [ -z "$home" ] || (($# > 1)); then
  die "usage: ${0##*/} KUBITECT_HOME"
fi
site=$home/site.yaml
HEADER='# Written by the lab (tests/lab/site.sh); written anew by its next run.'
STAND_IN=$LAB_DIR/../stand-in
PYTHON=/usr/bin/python3
# Machines that Ansible keeps busy starve the others, which share this machine's processors: as few at a time as can start
# an etcd of three together.
FORKS=2
# The releases that the tests ask for. The tree is the same in each, but for a file that names the release.
RELEASES=(v2.19.0 v2.20.0 v2.21.0 v2.24.3 v2.28.1 v2.31.0)

become_root "$@"
[ -d "$STAND_IN" ] || die "$STAND_IN is missing"
if [ -e "$site" ] && ! head -n 1 "$site" | grep -Fqx "$HEADER"; then
  die "$site is somebody's own; name another folder, or move it away"
fi

# Git without anybody's settings; author and time are fixed, so that the commits are.
git_plain() {
  GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_DIR=$repository \
    GIT_AUTHOR_NAME='Kubitect lab' GIT_AUTHOR_EMAIL=lab@kubitect.invalid GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' \
    GIT_COMMITTER_NAME='Kubitect lab' GIT_COMMITTER_EMAIL=lab@kubitect.invalid \
    GIT_COMMITTER_DATE='2024-01-01T00:00:00Z' git "$@"
}

# Prints the path of a bare repository of the stand-in's present files.
stand_in_repository() {
  local work repository release blob tree commit target
  work=$(mktemp -d "$KUBITECT_LAB_CACHE/stand-in.XXXXXX")
  repository=$work/repo.git
  export GIT_INDEX_FILE=$work/index
  git_plain init --quiet --bare --initial-branch=master "$repository"
  # Python's caches are no part of it, and neither is what an editor or a run leaves.
  printf '%s\n' __pycache__/ '*.pyc' '.*.sw?' '*~' >"$repository/info/exclude"
  git_plain --work-tree="$STAND_IN" add --all .
  [ -n "$(git_plain ls-files)" ] || die "$STAND_IN holds no files"
  for release in "${RELEASES[@]}"; do
    blob=$(echo "$release" | git_plain hash-object -w --stdin)
    git_plain update-index --add --cacheinfo "100644,$blob,STANDIN_RELEASE"
    tree=$(git_plain write-tree)
    commit=$(git_plain commit-tree -m "Stand-in for Kubespray $release" "$tree")
    git_plain update-ref "refs/tags/$release" "$commit"
  done
  git_plain update-ref refs/heads/master "$commit"
  rm -f "$GIT_INDEX_FILE"
  target=$KUBITECT_LAB_CACHE/stand-in/${commit:0:16}
  mkdir -p "$KUBITECT_LAB_CACHE/stand-in"
  chmod 0755 "$work"
  # Whoever comes second finds the same commits there.
  mv -T "$work" "$target" 2>/dev/null || rm -rf "$work"
  [ -d "$target/repo.git" ] || die "$target can't be made"
  echo "$target/repo.git"
}

# JSON's strings are YAML's, whatever a path contains.
quoted() { jq -n --arg text "$1" '$text'; }

# Prints the path of a folder with the stand-in's Python packages: nothing can be fetched from inside the lab.
wheels() {
  local digest target work
  digest=$({
    $PYTHON --version
    cat "$STAND_IN/requirements.txt"
  } | sha256sum)
  target=$KUBITECT_LAB_CACHE/wheels/${digest:0:16}
  if [ ! -d "$target" ]; then
    say "fetching the stand-in's Python packages" >&2
    mkdir -p "$KUBITECT_LAB_CACHE/wheels"
    work=$(mktemp -d "$KUBITECT_LAB_CACHE/wheels/new.XXXXXX")
    chmod 0755 "$work"
    $PYTHON -m venv "$work/venv"
    "$work/venv/bin/python" -m pip --quiet --disable-pip-version-check download \
      --requirement "$STAND_IN/requirements.txt" --dest "$work/wheels" >&2
    # Whoever comes second finds the same packages there.
    mv -T "$work/wheels" "$target" 2>/dev/null || true
    rm -rf "$work"
    [ -d "$target" ] || die "$target can't be made"
  fi
  echo "$target"
}

built=$("$LAB_DIR/image.sh")
image=${built% sha256:*}
checksum=sha256:${built##* sha256:}
repository=$(stand_in_repository)
wheels=$(wheels)

mkdir -p "$home"
new=$(mktemp "$home/site.yaml.XXXXXX")
cat >"$new" <<END
$HEADER
virtType: qemu
images:
  ubuntu22: {source: $(quoted "$image"), checksum: "$checksum"}
  debian12: {source: $(quoted "$image"), checksum: "$checksum"}
kubespray:
  url: $(quoted "$repository")
  python: $PYTHON
  forks: $FORKS
pip:
  findLinks: $(quoted "$wheels")
END
chmod 0644 "$new"
mv "$new" "$site"
say "wrote $site"
