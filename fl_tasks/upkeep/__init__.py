"""What an operator's timer does beside the runs: remove what is old, and keep copies of what cannot be made again."""
