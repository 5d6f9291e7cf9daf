"""Pictures and patients that stand in more than one place: how many there are, and what the split made of them."""

from collections import Counter, defaultdict

from semiretina.data.split import Split


def shared_pictures(split: Split) -> str:
    """In words, which pictures (files of equal content) several data sets share, and their roles; "" where none.

    They are one group, so that a picture which is tested in one set is `unused` in the other and never trained on.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for row, digest in enumerate(split.sha256):
        rows[digest].append(row)
    shared = [found for found in rows.values() if len({split.records[row].dataset for row in found}) > 1]
    if not shared:
        return ""
    roles: dict[str, Counter[str]] = defaultdict(Counter)
    for found in shared:
        for row in found:
            roles[split.records[row].dataset][split.roles[row]] += 1
    told = [
        f"{dataset or 'no name'} {', '.join(f'{count} {role}' for role, count in sorted(counts.items()))}"
        for dataset, counts in sorted(roles.items())
    ]
    verb = "picture stands" if len(shared) == 1 else "pictures stand"
    return f"{len(shared)} {verb} in more than one data set, never separated by the split: {'; '.join(told)}"


def shared_patients(split: Split) -> str:
    """In words, how many patients' names several data sets share; "" where none.

    A name counts within its data set alone, since collections number their patients from 1. Where two collections are
    of one clinic, its patients may be tested in one and trained on in the other: only the user can know.
    """
    holders: dict[str, set[str]] = defaultdict(set)
    for record in split.records:
        if record.patient:
            holders[record.patient].add(record.dataset)
    shared = [datasets for datasets in holders.values() if len(datasets) > 1]
    if not shared:
        return ""
    where = ", ".join(sorted(name or "no name" for name in set[str]().union(*shared)))
    verb = "name of a patient stands" if len(shared) == 1 else "names of patients stand"
    return (
        f"{len(shared)} {verb} in more than one data set ({where}), taken for different people; if they are the same, "
        "give their photographs one `dataset` in the manifest"
    )


def kept_out(split: Split) -> str:
    """In words, how many photographs a fold leaves alone, since the manifest gives them the role test; "" where none.

    What else is of their groups stays out with them.
    """
    given = {group for group, record in zip(split.groups, split.records, strict=True) if record.split == "test"}
    count = sum(record.split == "test" for record in split.records)
    others = sum(group in given and not r.split for group, r in zip(split.groups, split.records, strict=True))
    more = f", with {others} of the same patients, exams or pictures" if others else ""
    noun, verb = ("photograph", "stays") if count == 1 else ("photographs", "stay")
    return f"{count} {noun} that the manifest gives the role test {verb} out of the folds{more}" if count else ""


def held_back(split: Split) -> str:
    """In words, how many photographs are `unused` because of whom or what they show; "" where none."""
    held = {group for group, role in zip(split.groups, split.roles, strict=True) if role.endswith(("val", "test"))}
    count = sum(
        role == "unused" and group in held and record.quality != "ungradable"
        for record, group, role in zip(split.records, split.groups, split.roles, strict=True)
    )
    verb = "photograph shows" if count == 1 else "photographs show"
    return f"{count} unused {verb} a patient, exam or picture that is kept for validation or test" if count else ""
