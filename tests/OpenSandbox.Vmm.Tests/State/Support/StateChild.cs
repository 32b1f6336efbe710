namespace OpenSandbox.Vmm.Tests.State;

/// <summary>This assembly as a program: what tests of killed processes run.</summary>
internal static class StateChild
{
    internal static int Main(string[] arguments)
    {
        Console.Error.WriteLine($"nothing to run: {string.Join(' ', arguments)}");
        return 2;
    }
}
