"""Scripts that the interpreters of other environments run, one per tool. They import nothing of this project but ``job_files``,
which lies beside them."""
