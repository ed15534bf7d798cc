"""The interior-point method for constraints and bounds."""
