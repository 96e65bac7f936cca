"""What goes on at a farm's places, recognised from its readings: milking, washing, pick-up and others (DESIGN.md)."""

from analytics.context.farm_contexts import FarmContexts

__all__ = ["FarmContexts"]
