"""Pictures that stand in more than one data set: how many there are, and what the split made of them."""

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
