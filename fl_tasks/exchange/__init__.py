"""The write-once store between agencies and coordinator."""
