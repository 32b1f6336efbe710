using System.Reflection;
using System.Text.RegularExpressions;
using OpenSandbox.Vmm.State;

namespace OpenSandbox.Vmm.Tests.State;

public sealed partial class FaultTests
{
    private static readonly string s_sources = Path.GetFullPath(Path.Combine(SourceFolder(), "../../../src/OpenSandbox.Vmm"));

    [Fact]
    public void Names_AreUniqueAndAllListed()
    {
        string[] constants =
        [
            .. typeof(FaultPoints).GetFields(BindingFlags.Static | BindingFlags.NonPublic).Where(static field => field.IsLiteral)
                .Select(static field => (string)field.GetRawConstantValue()!),
        ];

        Assert.Equal(constants.Order(), FaultPoints.All.Order());
        Assert.Equal(constants.Length, constants.Distinct().Count());
        Assert.All(constants, static name => Assert.Matches("^[a-z-]+[.][a-z-]+$", name));
    }

    [Fact]
    public void Names_StandInOneFileAndEachIsUsed()
    {
        var used = new HashSet<string>(StringComparer.Ordinal);
        foreach (string path in Directory.EnumerateFiles(s_sources, "*.cs", SearchOption.AllDirectories))
        {
            string source = File.ReadAllText(path);
            foreach (Match call in Call().Matches(source))
            {
                Assert.True(call.Groups["name"].Success, $"{path}: a failpoint is named by something else than a constant of FaultPoints: {call.Value}");
                used.Add(call.Groups["name"].Value);
            }

            if (Path.GetFileName(path) != "FaultPoints.cs")
            {
                Assert.All(FaultPoints.All, name => Assert.DoesNotContain($"\"{name}\"", source, StringComparison.Ordinal));
            }
        }

        IEnumerable<string> constants = typeof(FaultPoints).GetFields(BindingFlags.Static | BindingFlags.NonPublic)
            .Where(static field => field.IsLiteral).Select(static field => field.Name);
        Assert.Equal(constants.Order(), used.Order());
    }

    [Fact]
    public void Point_ArmedForAFlow_FailsAtItsCountAndOnlyThere()
    {
        FaultPlan plan = FaultPlan.Parse("layer.linked:2=throw,layer.remove:*=enospc");
        using (Fault.ArmFlow(plan))
        {
            Fault.Point(FaultPoints.LayerLinked);
            Assert.Contains("layer.linked", Assert.Throws<FaultInjectedException>(static () => Fault.Point(FaultPoints.LayerLinked)).Message, StringComparison.Ordinal);
            Fault.Point(FaultPoints.LayerLinked);
            Assert.Equal(28, Assert.Throws<IOException>(static () => Fault.Point(FaultPoints.LayerRemove)).HResult);
            Assert.Equal(28, Assert.Throws<IOException>(static () => Fault.Point(FaultPoints.LayerRemove)).HResult);
            Fault.Point(FaultPoints.LayerCreated);
        }

        Fault.Point(FaultPoints.LayerRemove);
        Assert.Equal(3, plan.Reached[FaultPoints.LayerLinked]);
        Assert.Equal(2, plan.Reached[FaultPoints.LayerRemove]);
    }

    [Fact]
    public async Task Point_ArmedForAFlow_IsOffForOthers()
    {
        using var armed = new ManualResetEventSlim();
        using var tried = new ManualResetEventSlim();
        Task other = Task.Run(() =>
        {
            Assert.True(armed.Wait(StateTest.Patience));
            Fault.Point(FaultPoints.LayerLinked);
            tried.Set();
        });

        using (Fault.ArmFlow(FaultPlan.Parse("layer.linked:*=throw")))
        {
            armed.Set();
            Assert.True(tried.Wait(StateTest.Patience));
            await Assert.ThrowsAsync<FaultInjectedException>(static () => Task.Run(static () => Fault.Point(FaultPoints.LayerLinked)));
        }

        await other.WaitAsync(StateTest.Patience);
    }

    [Fact]
    public void Point_Delayed_GoesOnAfterwards()
    {
        using (Fault.ArmFlow(FaultPlan.Parse("layer.linked=delay(50)")))
        {
            long started = TimeProvider.System.GetTimestamp();
            Fault.Point(FaultPoints.LayerLinked);
            Assert.True(TimeProvider.System.GetElapsedTime(started) >= TimeSpan.FromMilliseconds(45));
        }
    }

    [Theory]
    [InlineData("nothing.like-it")]
    [InlineData("layer.linked:0")]
    [InlineData("layer.linked:x")]
    [InlineData("layer.linked=explode")]
    [InlineData("layer.linked=delay(x)")]
    [InlineData("layer.linked=delay(-1)")]
    [InlineData("layer.linked=delay(9999999)")]
    public void Specification_Wrong_IsRefusedAndSaysTheForm(string specification) =>
        Assert.Contains("the form is", Assert.Throws<InvalidOperationException>(() => FaultPlan.Parse(specification)).Message, StringComparison.Ordinal);

    [Fact]
    public async Task Environment_WithAWrongSpecification_IsNoSilentSuccess()
    {
        using var directory = new TemporaryDirectory();
        StateScenario.Of("checkpoint").Arrange(StateStore.Open(directory.Path));
        using var child = ChildProcess.Start(
            ["act", "checkpoint", directory.Path], new Dictionary<string, string> { [Fault.SpecificationVariable] = "no.such-point=kill" });

        (int exitCode, string output, string errors) = await child.WaitAsync();

        Assert.NotEqual(0, exitCode);
        Assert.Empty(output);
        Assert.Contains("names no failpoint", errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Environment_WithALogAlone_LogsWhatIsReachedAndFailsNothing()
    {
        using var directory = new TemporaryDirectory();
        StateStore store = StateStore.Open(directory.File("state"));
        StateScenario.Of("checkpoint").Arrange(store);
        using var child = ChildProcess.Start(
            ["act", "checkpoint", store.Layout.Root], new Dictionary<string, string> { [Fault.LogVariable] = directory.File("log") });

        (int exitCode, string output, string errors) = await child.WaitAsync();

        Assert.True(exitCode == 0 && output == "acknowledged\n", errors);
        string[] lines = await File.ReadAllLinesAsync(directory.File("log"));
        Assert.Equal(FaultPoints.SnapshotPublished, lines[^1]);
        Assert.All(lines, static line => Assert.Contains(line, FaultPoints.All));
    }

    private static string SourceFolder([System.Runtime.CompilerServices.CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;

    [GeneratedRegex(@"Fault\.Point\(\s*(FaultPoints\.(?<name>\w+)\)|[^)]*\))", RegexOptions.ExplicitCapture | RegexOptions.NonBacktracking)]
    private static partial Regex Call();
}
