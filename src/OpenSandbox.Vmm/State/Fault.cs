using System.Runtime.CompilerServices;

namespace OpenSandbox.Vmm.State;

/// <summary>
/// Failpoints: named places at which a test can have the process killed, an error thrown or an action run. They are part of the product, so
/// that what is tested is what is shipped, and cost one read of a static field while they are off.
/// </summary>
/// <remarks>
/// <para>
/// <c>OPENSANDBOX_FAULT</c> turns them on for the process: <c>NAME[:N][=ACTION]</c>, several with commas between; names are those in
/// <see cref="FaultPoints"/>. The action happens the Nth time the place is reached, the first by default, and only then; <c>:*</c> is every
/// time. Actions: <c>kill</c> (the default: SIGKILL to the own process), <c>throw</c>, <c>enospc</c>, <c>eio</c>, <c>delay(MS)</c>.
/// </para>
/// <para>
/// <c>OPENSANDBOX_FAULT_LOG</c> names a file to which every place that is reached is appended, one line each: the name, a space, and the
/// action where one happened, before it happens. See docs/durability.md.
/// </para>
/// </remarks>
internal static class Fault
{
    /// <summary>Name of the variable that says what fails where.</summary>
    internal const string SpecificationVariable = "OPENSANDBOX_FAULT";

    /// <summary>Name of the variable that names the log of what was reached.</summary>
    internal const string LogVariable = "OPENSANDBOX_FAULT_LOG";

    private static readonly AsyncLocal<FaultPlan?> s_flow = new();

    // Read once and lazily parsed, so that a wrong specification is reported by whoever comes to a failpoint and not by a type initialiser.
    private static readonly Lazy<FaultPlan?> s_environment = new(
        static () => FaultPlan.FromEnvironment(
            Environment.GetEnvironmentVariable(SpecificationVariable), Environment.GetEnvironmentVariable(LogVariable)));

    private static bool s_armed =
        Environment.GetEnvironmentVariable(SpecificationVariable) is { Length: > 0 }
        || Environment.GetEnvironmentVariable(LogVariable) is { Length: > 0 };

    /// <summary>A place where something may be made to fail.</summary>
    /// <param name="name">One of <see cref="FaultPoints"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static void Point(string name)
    {
        if (s_armed)
        {
            Reach(name);
        }
    }

    /// <summary>Turns failpoints on for what is called from here on, for tests within one process; ends when the result is disposed.</summary>
    internal static IDisposable ArmFlow(FaultPlan plan)
    {
        Volatile.Write(ref s_armed, true);
        FaultPlan? before = s_flow.Value;
        s_flow.Value = plan;
        return new Flow(before);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Reach(string name)
    {
        s_environment.Value?.Reach(name);
        s_flow.Value?.Reach(name);
    }

    private sealed class Flow(FaultPlan? before) : IDisposable
    {
        public void Dispose() => s_flow.Value = before;
    }
}
