"""The end of a run: what is fixed on validation, the grader, one look at the test set, and `result.json`."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from semiretina import checkpoint
from semiretina.files import write_json
from semiretina.judging.grader import Grader
from semiretina.judging.inference import infer_rows
from semiretina.judging.ledger import TestList, note_look
from semiretina.judging.mistakes import write_mistakes
from semiretina.judging.operating_point import HeldOut, OperatingPoints, fix_points, known_answers
from semiretina.judging.out_of_fold import fix_on_folds
from semiretina.judging.samples import write_samples
from semiretina.judging.test_set import TestSet
from semiretina.models.network import Network
from semiretina.training.epoch import Phase, Position


def finish(phase: Phase, network: Network, position: Position) -> dict[str, Any]:
    """Hands over the grader, then looks at the test set once."""
    config, run = phase.config, phase.run
    network.eval()
    fixed = _fix_points(phase, network)
    grader = Grader(
        network,
        phase.tasks,
        config.data.size,
        config.data.crop,
        config.threshold,
        phase.place.device,
        temperatures=fixed.temperatures,
        own_thresholds=fixed.thresholds,
    )
    grader.save(run.grader)
    # After a refit the validation photographs were trained on, and their scores would say nothing.
    roles = [phase.last_role] if config.refit == "train+val" else ["val", phase.last_role]
    scores = {role: _judge(phase, grader, role, fixed) for role in dict.fromkeys(roles) if len(phase.split.rows(role))}
    if not run.sample_list.exists():
        write_samples(run.sample_list, phase.split, phase.last_role, phase.pixels)
    write_json(run.result, _result(phase, position, scores, fixed))
    return run.read_result()


def _fix_points(phase: Phase, network: Network) -> OperatingPoints:
    """What `operating` fixes, on the answers of a cross-validation or to the validation photographs."""
    config, split = phase.config, phase.split
    if not config.operating:
        return OperatingPoints()
    if config.operating.folds:
        return fix_on_folds(config, phase.run, phase.tasks)
    source = "val"
    if config.refit == "train+val":
        # The refit trained on these photographs: it is the answers of the network selected before it that count.
        network, source = deepcopy(network), "val, by the network selected before the refit"
        network.load_state_dict(checkpoint.load(phase.run.checkpoints / "best")[0])
    val = TestSet.of_role(split, "val", phase.tasks)
    logits = infer_rows(network.eval(), phase.pixels, split.rows("val"), config.engine.eval_batch)
    return fix_points(config, HeldOut(phase.tasks, logits, val.targets, val.patients, source))


def _judge(phase: Phase, grader: Grader, role: str, fixed: OperatingPoints) -> dict[str, Any]:
    """The answers to a role's photographs, as a table, and their scores; of the test set also the worst mistakes."""
    config, run, rows = phase.config, phase.run, phase.split.rows(role)
    test = TestSet.of_role(phase.split, role, phase.tasks)
    values = grader.probabilities(infer_rows(grader.network, phase.pixels, rows, config.engine.eval_batch))
    # The looks at every epoch were noted as one. This one shows nothing new, unless with other thresholds.
    if role == "test" and not (config.track_test and {*grader.thresholds.values()} <= {config.threshold}):
        note_look(run.path, "train", TestList.of(config.data, phase.split), grader.thresholds)
    test.predictions(values).write(run.predictions(role))
    scores = test.score(values, grader.thresholds, config.prevalence)
    if role == "test":
        write_mistakes(run.mistakes, test, values, grader, phase.pixels, rows)
        fixed.add_to(scores, known_answers(phase.tasks, values, test.targets, test.patients))
    return scores


def _result(phase: Phase, position: Position, scores: Mapping[str, Any], fixed: OperatingPoints) -> dict[str, Any]:
    """What `result.json` holds."""
    config, split = phase.config, phase.split
    result = {
        "schema": 1,
        "name": phase.run.path.name,
        "seed": config.seed,
        "split_sha256": split.test_sha256,
        "trained_on": "train+val" if config.refit == "train+val" else "train",
        "selected_epoch": position.selected_epoch,
        "labeled_updates": position.selected_updates,
        "counts": split.counts,
        "ungradable": sum(record.quality == "ungradable" for record in split.records),
        "test": scores.get("test", {}),
        "val": scores.get("val", {}),
    }
    if fixed.points:
        result["operating"] = fixed.points
    if position.reconstruction:
        result["reconstruction"] = position.reconstruction
    if position.tracked:
        result["paper_protocol"] = {
            name: paper_protocol([row[name] for row in position.tracked]) for name in phase.tasks
        }
    return result


def paper_protocol(accuracies: Sequence[float]) -> dict[str, float]:
    """The paper's number, the maximum of the test accuracy over epochs, and what should stand beside it.

    That maximum is a selection on the test set.
    """
    best = max(range(len(accuracies)), key=lambda epoch: accuracies[epoch])
    last_ten = accuracies[-10:]
    return {
        "max": accuracies[best],
        "epoch": best + 1,
        "last": accuracies[-1],
        "mean_last_ten": sum(last_ten) / len(last_ten),
    }
