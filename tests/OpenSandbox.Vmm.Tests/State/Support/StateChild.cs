using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State;

/// <summary>This assembly as a program: what tests of killed processes run.</summary>
internal static class StateChild
{
    internal static int Main(string[] arguments)
    {
        switch (arguments)
        {
            case ["hold", string directory]:
                StateStore store = StateStore.Open(directory);
                using (store.TryLockSandbox(Samples.SandboxId) ?? throw new InvalidOperationException("the sandbox is locked"))
                using (store.Enter())
                {
                    Console.WriteLine("held");
                    Console.In.ReadToEnd(); // until the test kills this process, or ends
                }

                return 0;

            case ["act", string name, string directory]:
                StateScenario.Of(name).Act(StateStore.Open(directory));
                Console.WriteLine("acknowledged");
                return 0;

            default:
                Console.Error.WriteLine($"nothing to run: {string.Join(' ', arguments)}");
                return 2;
        }
    }
}
