#!/usr/bin/env python3
"""What a release of Kubespray says of itself, read from a copy of its repository: rows and names for Kubitect's tables.

    tests/kubespray-release.py row REPOSITORY TAG        the row of kubitect-config/data/kubespray-releases.yaml
    tests/kubespray-release.py names REPOSITORY          kubitect-config/data/kubespray-variables.txt, of all tags of that table
    tests/kubespray-release.py components REPOSITORY     kubitect-config/data/kubespray-components.txt, of all tags of that table
    tests/kubespray-release.py samples REPOSITORY        tests/fixtures/kubespray-samples.txt, of all tags of that table
    tests/kubespray-release.py conditions REPOSITORY TAG what the release asserts, for the table in docs/kubespray.md

REPOSITORY is a git repository with the tags, bare or not; it is only read. Needs git, Python 3.9 and PyYAML. The page
docs/new-release.md says what to do with the output.
"""

import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import yaml

DATA = Path(__file__).resolve().parent.parent / "kubitect-config" / "data"
RELEASES = DATA / "kubespray-releases.yaml"
VARIABLES = DATA / "kubespray-variables.txt"
COMPONENTS = DATA / "kubespray-components.txt"
SAMPLES = DATA.parent.parent / "tests" / "fixtures" / "kubespray-samples.txt"

# Names that users may have in the files of an inventory and that no playbook reads.
NAME = r"[a-z_][a-zA-Z0-9_]*"
# A name that a task or a template reads although no default gives it a value.
READ = re.compile(
    rf"(?<![.\w])({NAME})(?:\s+is\s+(?:not\s+)?(?:un)?defined|\s*\|\s*(?:default|d)\s*\()|{{{{-?\s*({NAME})(?![\w(.\[])"
)
WORD = re.compile(r"\w+")
# A variable whose name is put together: `lookup('vars', scope + '_reserved')`.
LOOKUP = re.compile(r"lookup\(\s*['\"](?:ansible\.builtin\.)?vars['\"],\s*((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)")
SET_BY_TASKS = {"register", "loop_var", "index_var"}


class Loader(yaml.SafeLoader):
    """YAML with the tags that playbooks use, whose meaning does not matter here."""


Loader.add_multi_constructor("!", lambda loader, suffix, node: None)


def load(text):
    """The documents of a YAML file; nothing of one that is a template."""
    try:
        return list(yaml.load_all(text, Loader=Loader))
    except yaml.YAMLError:
        return []


def tree(repository, tag, only=()):
    """The files of a tag's roles, playbooks and sample inventory, or only some of them: path to text."""
    archive = subprocess.run(
        ["git", f"--git-dir={git_dir(repository)}", "archive", "--format=tar", tag, *only],
        check=True,
        capture_output=True,
    ).stdout
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            wanted = re.match(
                r"(roles|playbooks|inventory/sample|docs/.*\.md$|[^/]+\.(yml|txt|md)$)", member.name
            )
            if member.isfile() and wanted and "/molecule/" not in member.name:
                files[member.name] = tar.extractfile(member).read().decode(errors="replace")
    return files


def git_dir(repository):
    inner = Path(repository) / ".git"
    return inner if inner.exists() else Path(repository)


# --- names -----------------------------------------------------------------------------------------------------------


def kind(value):
    """A default's type in one letter; `?` where the default does not show it, and `c` for an empty list or mapping: some
    releases take the other one there."""
    if value in ([], {}):
        return "c"
    if isinstance(value, bool):
        return "b"
    if isinstance(value, int):
        return "i"
    if isinstance(value, list):
        return "l"
    if isinstance(value, dict):
        return "m"
    if isinstance(value, str) and value and "{{" not in value and "{%" not in value:
        if re.fullmatch(r"v\d+\.\d+[\w.+-]*", value):
            return "v"
        if re.fullmatch(r"\d+\.\d+[\w.+-]*", value):
            return "n"
        return "s"
    return "?"


def names(files):
    """The variables that a release reads and that an inventory can set: name to type. Defaults and samples that nothing
    reads are left out."""
    found = {}
    is_read = reads(files)
    # `{% if kubelet_custom_flags is string %}`: a text is as good.
    texts = {name for text in files.values() for name in re.findall(rf"({NAME}) is string", text)}

    def add(name, value_kind):
        if value_kind == "c" and name in texts:
            value_kind = "?"
        known = found.get(name, "?")
        if re.fullmatch(NAME, name) and (known == "?" or known == "c" and value_kind != "?"):
            found[name] = value_kind

    for path, text in files.items():
        if is_defaults(path):
            for document in load(text):
                for name, value in (document or {}).items():
                    add(str(name), kind(value))
    for path, text in files.items():
        if path.startswith("inventory/sample/group_vars/"):
            for name, value in sample(text):
                add(name, kind(value))
    taken = set_by_tasks(files)
    for path, text in files.items():
        if re.match(r"(roles|playbooks)/|[^/]+\.yml$", path):
            for match in READ.finditer(text):
                name = match[1] or match[2]
                if name not in taken:
                    add(name, "?")
    return {name: value for name, value in found.items() if not name.startswith("ansible_") and is_read(name)}


def reads(files):
    """What tells whether anything in a release reads a variable: a task, a template, a playbook, or the default of a
    variable that is read."""
    read, of_defaults, built = set(), {}, []
    for path, text in files.items():
        if not re.match(r"(roles|playbooks)/|[^/]+\.yml$", path):
            continue
        built += [name_pattern(match) for match in LOOKUP.findall(text)]
        documents = load(text) if is_defaults(path) else []
        if documents and all(isinstance(document or {}, dict) for document in documents):
            for document in documents:
                for name, value in (document or {}).items():
                    of_defaults.setdefault(str(name), set()).update(WORD.findall(str(value)))
            continue
        # A comment reads nothing; in a template it may.
        is_yaml = path.endswith((".yml", ".yaml"))
        read.update(WORD.findall(re.sub(r"(?m)^\s*#.*$", "", text) if is_yaml else text))
    is_built = re.compile("|".join(built) or "(?!)").fullmatch
    ahead = [name for name in of_defaults if name in read or is_built(name)]
    while ahead:
        new = of_defaults.get(ahead.pop(), set()) - read
        read |= new
        ahead += new & of_defaults.keys()
    return lambda name: name in read or is_built(name) is not None


def name_pattern(expression):
    """The names that an expression can be: its texts, and anything for the rest of it."""
    while (shorter := re.sub(r"\([^()]*\)", "x", expression)) != expression:
        expression = shorter
    parts = re.split(r"\s*[+~]\s*", expression.strip())
    return "".join(re.escape(part[1:-1]) if part[:1] in "'\"" else r"\w+" for part in parts)


def is_defaults(path):
    return re.match(r"roles/.*/defaults/.*\.ya?ml$|roles/.*/defaults/main$", path) is not None


def sample(text):
    """The variables of a sample file, also those that are commented out, of which a list or a mapping is often none."""
    for line in text.splitlines():
        match = re.match(rf"(#?)\s?({NAME}):(?:\s+(.*))?$", line)
        if not match:
            continue
        value = (match[3] or "").strip()
        documents = load(value) if value else []
        value = documents[0] if documents else None
        yield match[2], None if match[1] and isinstance(value, (list, dict)) else value


def set_by_tasks(files):
    """Names that tasks, roles and templates give values themselves. Facts are none of them: many stand in for what is not set."""
    taken = {"item", "omit", "hostvars", "groups", "group_names", "inventory_hostname", "inventory_dir", "playbook_dir"}

    def walk(node):
        if isinstance(node, list):
            for one in node:
                walk(one)
        elif isinstance(node, dict):
            for key, value in node.items():
                if key in SET_BY_TASKS and isinstance(value, str):
                    taken.add(value)
                if key == "vars" and isinstance(value, dict):
                    taken.update(map(str, value))
                walk(value)

    for path, text in files.items():
        if path.endswith((".yml", ".yaml")):
            documents = load(text)
            walk(documents)
            if re.match(r"roles/.*/vars/", path):
                for document in documents:
                    taken.update(map(str, document or {}) if isinstance(document, dict) else [])
        for match in re.finditer(rf"{{%-?\s*(?:set|for)\s+({NAME})(?:\s*,\s*({NAME}))?", text):
            taken.update(name for name in match.groups() if name)
    return taken


def known_tags():
    return [row["tag"] for row in yaml.safe_load(RELEASES.read_text())]


def table(repository):
    """All tags' variables: one line for each set of releases and type, so that a new release changes few lines."""
    tags = known_tags()
    seen = {}
    for index, tag in enumerate(tags):
        for name, value_kind in names(tree(repository, tag)).items():
            seen.setdefault(name, {})[index] = value_kind
    lines = {}
    for name, kinds in seen.items():
        for first, last, value_kind in ranges(kinds):
            key = (first, last, value_kind)
            lines.setdefault(key, []).append(name)
    yield "# The variables that each release of Kubespray reads, made by `tests/kubespray-release.py names`; no line is made by hand."
    yield "# FIRST..LAST TYPE: NAMES. Type of the default: b boolean, i number, l list, m mapping, n version, v version with `v`, s text, c list or mapping, ? not shown."
    for (first, last, value_kind), group in sorted(lines.items()):
        yield f"{tags[first]}..{tags[last]} {value_kind}: {' '.join(sorted(group))}"


def ranges(kinds):
    """Rows of releases that follow one another and agree in the type."""
    indices = sorted(kinds)
    first = last = indices[0]
    for index in indices[1:]:
        if index == last + 1 and kinds[index] == kinds[first]:
            last = index
            continue
        yield first, last, kinds[first]
        first = last = index
    yield first, last, kinds[first]


# --- components ------------------------------------------------------------------------------------------------------

# Where a release looks up the checksum of a component's version: `x_checksums[image_arch][x_version]`.
LOOKED_UP = re.compile(rf"(?m)^(?:({NAME}):|.*)\s\"\{{\{{ ({NAME}_checksums)((?:\.\w+|\[\w+\])*)\[({NAME}_version)\] \}}\}}\"")
MACHINES = {"image_arch": "amd64", "host_os": "linux"}
FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def components(files):
    """The versions that a release has checksums for: (variables of the version, the first that is set counts; variables
    that settle the checksum instead) to versions."""
    given = {path: text for path, text in files.items() if re.match(r"roles/.*/(defaults|vars)/", path)}
    lines = [line for text in given.values() for line in text.splitlines() if "{{" in line and ("_version" in line or "_checksum" in line)]
    every = "\n".join(lines)
    tables, fixed = {}, set()
    for path, text in given.items():
        if re.search(r"(?m)^\w+_checksums:", text):
            # v2.22.2 has a rest of such a table besides, without a version in it.
            new = {name: value for name, value in yaml.load(text, Loader=FAST).items() if has_versions(value)}
            tables |= new
            # An inventory can't replace what is no default.
            fixed |= new.keys() if "/vars/" in path else set()
    found = {}
    for name, table_of, path, version in LOOKED_UP.findall(every):
        versions = [version]
        # `calico_ctl_version: "{{ calico_version }}"`
        while (other := re.search(rf'(?m)^{versions[-1]}: "{{{{ ({NAME}_version) }}}}"', every)) is not None:
            versions.append(other[1])
        versions = [one for one in versions if one != "kube_version"]
        entry = tables.get(table_of)
        for step in re.findall(r"\w+", path):
            entry = (entry or {}).get(MACHINES.get(step, step))
        if not versions or not entry:
            continue
        settles = [one for one in (name, table_of) if one and one not in fixed]
        # `containerd_checksum: "{{ of_an_own_wish if b else containerd_archive_checksum }}"`
        if name and re.search(rf'(?m)^{NAME}_checksum: "{{{{ {name} if ', every):
            continue
        choices = re.findall(rf'(?m)^({NAME}_checksum): "{{{{ .* else {name} }}}}"', every) if name else []
        key = (",".join(versions), ",".join(dict.fromkeys(settles + choices)) or "-")
        found[key] = [str(one) for one, checksum in entry.items() if checksum]
    return found


def has_versions(value):
    """Whether a table of checksums, or one of its parts, has any."""
    return bool(value) and (not isinstance(value, dict) or any(map(has_versions, value.values())))


def with_defaults(repository, tag):
    """The files of a tag that name checksums."""
    lines = subprocess.run(
        ["git", f"--git-dir={git_dir(repository)}", "grep", "-l", "_checksum", tag, "--", "roles"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return [line.partition(":")[2] for line in lines]


def component_table(repository):
    """All tags' components: a line for the versions that the same releases have."""
    tags = known_tags()
    seen = {}
    for index, tag in enumerate(tags):
        for key, versions in components(tree(repository, tag, with_defaults(repository, tag))).items():
            for version in versions:
                seen.setdefault((*key, version), {})[index] = None
    lines = {}
    for (variables, settles, version), indices in seen.items():
        for first, last, _ in ranges(indices):
            lines.setdefault((variables, settles, first, last), []).append(version)
    yield "# The versions of components that each release of Kubespray has checksums for, made by `tests/kubespray-release.py components`; no line is made by hand."
    yield "# FIRST..LAST VERSION-VARIABLES CHECKSUM-VARIABLES: VERSIONS. The first variable that is set is the version; any set checksum settles it (- none does)."
    for (variables, settles, first, last), versions in sorted(lines.items()):
        yield f"{tags[first]}..{tags[last]} {variables} {settles}: {' '.join(sorted(versions, key=by_numbers))}"


def by_numbers(version):
    return [int(part) for part in re.findall(r"\d+", version)], version


# --- samples ---------------------------------------------------------------------------------------------------------


def samples(repository):
    """What Kubespray itself gives its variables: the values of its sample inventory that are not commented out, and those of
    its pages. `validate` has nothing to say of their types."""
    tags = known_tags()
    seen = {}
    for index, tag in enumerate(tags):
        files = tree(repository, tag)
        read = names(files)
        for path, text in files.items():
            if path.startswith("inventory/sample/group_vars/"):
                blocks = [text]
            elif path.startswith("docs/"):
                blocks = re.findall(r"(?ms)^```ya?ml *\n(.*?)^```", text)
            else:
                continue
            for document in [one for block in blocks for one in load(block) if isinstance(one, dict)]:
                for name, value in document.items():
                    if name in read and value is not None:
                        seen.setdefault((name, json.dumps(value, sort_keys=True)), {})[index] = None
    yield "# What Kubespray's sample inventories and pages give variables, made by `tests/kubespray-release.py samples`; no line is made by hand."
    for (name, value), indices in sorted(seen.items()):
        for first, last, _ in ranges(indices):
            yield f"{tags[first]}..{tags[last]} {name} {value}"


# --- the row ---------------------------------------------------------------------------------------------------------


def default(files, name):
    """A role default, wherever it stands."""
    for path, text in sorted(files.items()):
        if re.match(r"roles/.*/defaults/", path) and f"\n{name}:" in "\n" + text:
            for document in load(text):
                if document and name in document:
                    return document[name]
    return None


def checksums(files, name):
    """A table of checksums: versions without their `v`, by the architecture amd64."""
    for path, text in sorted(files.items()):
        if f"\n{name}:" in "\n" + text and re.match(r"roles/.*/(defaults|vars)/", path):
            for document in load(text):
                if document and name in document:
                    return [str(version).lstrip("v") for version in document[name]["amd64"]]
    raise SystemExit(f"no {name}")


def patches(versions):
    """Minor to lowest and highest patch."""
    found = {}
    for version in versions:
        major, minor, patch = version.split(".")[:3]
        if patch.isdigit():
            found.setdefault(f"{major}.{minor}", set()).add(int(patch))
    gaps = [minor for minor, all_of in found.items() if len(all_of) != max(all_of) - min(all_of) + 1]
    if gaps:
        print(f"# not every patch of {', '.join(gaps)} has checksums: the table can't say so", file=sys.stderr)
    by_number = sorted(found, key=lambda minor: [int(part) for part in minor.split(".")])
    return {minor: [min(found[minor]), max(found[minor])] for minor in by_number}


def allowed(files, name):
    """The values of a variable that the release's own assertion accepts: the longest list that it is held against."""
    found = [[]]
    for path, text in files.items():
        if "verify-settings" in path or path.startswith("roles/validate_inventory/"):
            found += [yaml.safe_load(one) for one in re.findall(rf"\b{name} in (\[[^\]]*\])", text)]
    return max(found, key=len)


def row(repository, tag):
    """What the table says of a release, apart from the Pythons, which have to be tried."""
    files = tree(repository, tag)
    kubernetes = patches(checksums(files, "kubelet_checksums"))
    deployable = default(files, "etcd_supported_versions") or {}
    minors = {str(minor).lstrip("v") for minor in deployable}
    without_etcd = [minor for minor in kubernetes if minors and minor not in minors]
    for minor in without_etcd:
        print(f"# {minor} has checksums but no etcd, and cannot be set up", file=sys.stderr)
    readme = files.get("README.md", "")
    documented = [line for line in readme.splitlines() if re.match(r"- \*\*(Debian|Ubuntu|CentOS|Rocky)", line)]
    print("# its README: " + "; ".join(documented), file=sys.stderr)
    print("# its Ansible: " + files.get("requirements.txt", "?").partition("\n")[0], file=sys.stderr)
    facts = "facts.yml" if "facts.yml" in files else "playbooks/facts.yml"
    removing = files.get("playbooks/remove_node.yml", files.get("remove-node.yml", ""))
    preflight = any("kubeadm_ignore_preflight_errors" in text for path, text in files.items() if "/defaults/" in path)
    all_text = "\n".join(files.values())
    return {
        "tag": tag,
        "v": "v" in str(default(files, "kube_version"))[:1] if isinstance(default(files, "kube_version"), str)
        and "{{" not in default(files, "kube_version") else "validate_inventory" not in all_text,
        "kubernetes": {minor: kubernetes[minor] for minor in kubernetes if minor not in without_etcd},
        "python": "TRY",
        "python_unpinned": [],
        "unpin": [],
        "network_plugins": allowed(files, "kube_network_plugin"),
        "dns_modes": allowed(files, "dns_mode"),
        "container_managers": allowed(files, "container_manager"),
        "facts_playbook": facts,
        "inventory_check": "playbooks/boilerplate.yml" if "roles/validate_inventory/tasks/main.yml" in files else None,
        "node_mandatory": "node is defined" in removing,
        "memory_mb": [default(files, "minimal_master_memory_mb"), default(files, "minimal_node_memory_mb")],
        "preflight": preflight,
        "bootstrap_tag": "bootstrap_os" if "tags: bootstrap_os" in all_text else "bootstrap-os",
        "distros": "READ",
        "distros_refused": [],
    }


# --- conditions ------------------------------------------------------------------------------------------------------


def conditions(files):
    """Each `assert` and `fail` of the roles: file, name, conditions."""

    def walk(node, when):
        if isinstance(node, list):
            for one in node:
                yield from walk(one, when)
        elif isinstance(node, dict):
            mine = when + ([node["when"]] if "when" in node else [])
            for key in ("assert", "ansible.builtin.assert", "fail", "ansible.builtin.fail"):
                if isinstance(node.get(key), dict):
                    yield node.get("name"), node[key].get("that"), mine
            for key in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks"):
                yield from walk(node.get(key), mine)

    for path, text in sorted(files.items()):
        if path.endswith(".yml"):
            for name, that, when in walk(load(text), []):
                yield f"{path}: {name}\n    that: {that}\n    when: {when}"


def main():
    match sys.argv[1:]:
        case ["row", repository, tag]:
            print("- " + yaml.safe_dump(row(repository, tag), default_flow_style=True, sort_keys=False, width=10**6).strip())
        case ["names", repository]:
            VARIABLES.write_text("\n".join(table(repository)) + "\n")
            print(f"{VARIABLES}: {VARIABLES.stat().st_size} bytes")
        case ["components", repository]:
            COMPONENTS.write_text("\n".join(component_table(repository)) + "\n")
            print(f"{COMPONENTS}: {COMPONENTS.stat().st_size} bytes")
        case ["samples", repository]:
            SAMPLES.write_text("\n".join(samples(repository)) + "\n")
            print(f"{SAMPLES}: {SAMPLES.stat().st_size} bytes")
        case ["conditions", repository, tag]:
            print("\n".join(conditions(tree(repository, tag))))
        case _:
            raise SystemExit(__doc__)


main()
