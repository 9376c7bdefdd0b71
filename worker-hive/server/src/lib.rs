//! The hive's HTTP face and the worker-hive command.
