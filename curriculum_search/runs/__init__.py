"""Running runs anywhere: what a run's folder holds, who keeps it, and where it is trained.

`job` is what is handed out and what comes back, `folder` and `result` are a run on disk, `store` is the one owner of a
command's runs, `workspace` the frame that every command works in; `cluster`, `executor` and `worker` are Ray.
"""
