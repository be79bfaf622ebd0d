"""Running submissions safely: prepare (trusted), execute (hostile), finish (trusted), with nbgrader's own code in each."""
