"""One graph in several topologies: what each costs a request, over the town and the operations of `bench.graphql`."""
