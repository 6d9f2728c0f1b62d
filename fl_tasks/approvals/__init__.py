"""Which data a data officer has opened for which plan: plans, their delivery, signed decisions, and their check."""
