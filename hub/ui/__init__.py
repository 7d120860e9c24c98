"""The hub's page: a thin face over `hub.service.Hub`, built with Gradio."""
