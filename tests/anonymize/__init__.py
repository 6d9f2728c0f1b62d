"""De-identification: each rule against plain counting, random tables, pyCANON and the figures known for Adult."""
