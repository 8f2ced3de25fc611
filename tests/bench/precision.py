"""What a smaller precision costs: the shipped model against its fp32 export, over the same candidates.

    uv run python tests/bench/precision.py ../shared/data/eval/adi [--sites dev] --exact FOLDER [--profile mini]

FOLDER is what `export.py --exact` leaves. Prints the mean overlap of the five passages kept, and what the change does
to both metrics, with 95% intervals.
"""

from pathlib import Path
from statistics import fmean

from reranking import make_parser, search_all
from rich.progress import track

from overfetch.evaluation.candidates import rank
from overfetch.evaluation.metrics import macro_difference, measure
from overfetch.inference.onnx import OnnxReranker

KEPT = 5


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--exact", type=Path, required=True)
    options = parser.parse_args()
    overlaps: list[float] = []
    values = []
    for name, judged, found, served in search_all(options):
        exact, weight = OnnxReranker(options.exact, served.spec), served.spec.order_weight
        orders: list[dict[str, list[str]]] = [{}, {}]
        for candidates in track(found, name):
            for order, model in zip(orders, (exact, served), strict=True):
                logits = model.score(candidates.query, candidates.passages).logits
                order[candidates.query_id] = rank(candidates, logits, weight)
            kept = [set(order[candidates.query_id][:KEPT]) for order in orders]
            overlaps.append(len(kept[0] & kept[1]) / max(1, len(kept[0])))
        values.append([measure(judged.qrels, order) for order in orders])
    print(f"top-{KEPT} overlap over {len(overlaps)} queries: {fmean(overlaps):.4f}")
    for metric in ("ndcg@10", "mrr@5"):
        change = macro_difference([(before[metric], after[metric]) for before, after in values])
        print(f"{metric}: {change.mean:+.4f} [{change.low:+.4f}, {change.high:+.4f}] by the smaller precision")


if __name__ == "__main__":
    main()
