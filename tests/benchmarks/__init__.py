"""What the library costs and what it saves, measured side by side in one run."""
