using OpenSandbox.Testing;

namespace TestingWithSandboxes;

/// <summary>One host for all test classes of the collection.</summary>
[CollectionDefinition("sandboxes")]
public sealed class SandboxCollection : ICollectionFixture<SandboxFixture>;
