"""The figures of each folder of results: FOLDER/figures/NAME.png and .svg.

The rules and the scripts that draw read the names here. The figures of the benchmark plan have the names of
its tests.
"""

FIGURES = {
    "sharing": (
        "sharing_fraction_cdf",
        "block_hit_distribution",
        "reuse_gap_cdf",
        "comparison",
        "working_set",
    ),
    "sharing/sweeps": ("hit_rate_curves", "hit_rate_heatmap"),
    "replay": ("latency_histograms", "running_waiting_blocks", "hit_rate_over_time", "divergence"),
    "cost_model": ("cost_model_steps", "cost_model_requests"),
    "load": ("latency_over_rate",),
    "nsight": ("step_timeline", "kernel_shares", "cpu_and_gpu_time"),
}
