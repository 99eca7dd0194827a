"""Figures and the page of `report`."""
