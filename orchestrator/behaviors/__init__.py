"""A behavior is data: contrast prompts to extract a direction from, and test prompts to steer on."""

from orchestrator.behaviors.behavior import Behavior, TestPrompt
from orchestrator.behaviors.loading import NEUTRAL, BehaviorFile, load_behavior, load_prompts, read_behavior
from orchestrator.behaviors.published import SetUse

__all__ = ["NEUTRAL", "Behavior", "BehaviorFile", "SetUse", "TestPrompt", "load_behavior", "load_prompts", "read_behavior"]
