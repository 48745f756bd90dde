"""The frozen multimodal language model (MLLM) and the chain of thought that turns a command into a described target."""
