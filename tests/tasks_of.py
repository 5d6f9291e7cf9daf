"""The tasks of a network that a test built without records."""

from semiretina.tasks import make_task


def tasks_of(network):
    """Name -> task, of each head; grades are those of ICDR, however many the head has."""
    return {name: make_task(name, "icdr") for name in network.classifier.heads}
