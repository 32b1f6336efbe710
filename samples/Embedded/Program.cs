using OpenSandbox.Vmm;

await using SandboxHost host = await SandboxHost.StartAsync();
await using Sandbox sandbox = await host.CreateAsync();

await sandbox.Files.WriteTextAsync("/workspace/answer.py", "print(6 * 7)");
ExecResult result = await sandbox.ExecAsync(["python3", "answer.py"]);
Console.WriteLine($"exit code {result.ExitCode}: {result.StandardOutput}");
