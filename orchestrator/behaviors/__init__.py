"""A behavior is data: contrast prompts to extract a direction from, and test prompts to steer on."""

from orchestrator.behaviors.behavior import Behavior, TestPrompt
from orchestrator.behaviors.loading import BehaviorFile, load_behavior, read_behavior
from orchestrator.behaviors.published import SetUse

__all__ = ["Behavior", "BehaviorFile", "SetUse", "TestPrompt", "load_behavior", "read_behavior"]
