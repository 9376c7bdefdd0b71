//! Starts simulator, hive and gateway on free ports and runs .case files.
