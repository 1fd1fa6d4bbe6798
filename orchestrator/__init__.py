"""The driver: plans, schedules, stores, reports. Imports no torch."""
