"""What tests and benches share: a running lab, and people who use it over HTTP."""
