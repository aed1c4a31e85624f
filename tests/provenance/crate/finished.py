"""What a finished project has beside its results."""

REPORT = [
    f"results/report/{name}" for name in ("index.html", "report.md", "vllm_evaluation.md", "summary.json")
]
MADE = ["results/ro-crate-metadata.json", "results/provenance/Snakefile", "results/provenance/source.zip"]
ARCHIVE = "results/provenance/archive.zip"
