"""What every measurement shares: the result document, repeats, disturbance, workloads, phases of a step."""
