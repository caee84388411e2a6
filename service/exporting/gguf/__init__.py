"""GGUF files for llama.cpp and Ollama: conversion, quantization, and the proof by llama.cpp."""

from service.exporting.gguf.packages import EXTRA, missing_packages

__all__ = ["EXTRA", "missing_packages"]
