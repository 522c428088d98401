"""Proofs of the main job from outside: a real source, the real command, the real sandbox."""
