"""More ways of saying it: situation | utterance | tool; no tool means that nothing is acted on."""

# ruff: noqa: E501
from __future__ import annotations

import pytest

from tests.unit.test_guided_understanding import stage

ACTS = {
    "start_training",
    "forget",
    "cancel_job",
    "export_model",
    "prepare_dataset",
    "resume_job",
}
TABLE = """fresh|I've collected customer reviews in reviews.csv - get me a model that recognises the mood|start_training
fresh|gimme a lora on reviews.csv plz|start_training
fresh|reviews.csv, dora, 3 epochs, go|start_training
fresh|Would be great if a model could learn from reviews.csv who is angry|start_training
fresh|Kindly initiate a fine-tuning job utilising reviews.csv|start_training
fresh|the data lies in reviews.csv, the job is to predict mood from text. train please|start_training
fresh|please make training for me on reviews.csv file with 5 epoch|start_training
fresh|let us begin with reviews.csv: tune it, rank 4|start_training
fresh|My goal: a classifier for mood. Data: reviews.csv. Method: LoRA. Epochs: 2.|start_training
fresh|i wanna see if a model can learn reviews.csv, train one|start_training
fresh|run training, dataset reviews.csv, batch size 4|start_training
fresh|ok so train reviews.csv but take qlora since my gpu is small|start_training
fresh|look at reviews.csv, clean it and train with dora rank 8|start_training
fresh|check reviews.csv then train on it|start_training
fresh|inspect reviews.csv and if it's fine train a model|start_training
fresh|Start fine tuning reviews.csv. No need to ask.|start_training
fresh|trane a model wiht reviews.csv and 2 epohcs|start_training
fresh|fientune reviews.csv useing lora|start_training
fresh|I need you to take reviews.csv and turn it into a tone classifier|start_training
fresh|We'd love our own little assistant trained on tickets.jsonl|start_training
fresh|do a quick test training on reviews.csv with 10 steps|start_training
fresh|Use QLoRA with rank 8 for tuning on reviews.csv|start_training
fresh|can we train on reviews.csv?|start_training
fresh|shall we train on reviews.csv now? yes let's|start_training
fresh|hey can you please help me to fine tune a model using reviews.csv|start_training
fresh|fine-tune phi-3-mini on reviews.csv|start_training
fresh|tune llama 3.2 1b with tickets.jsonl, qlora|start_training
fresh|set up a training on reviews.csv, hold out 25%, keep duplicates|start_training
looked|perfect, train|start_training
looked|then let's tune it with dora|start_training
looked|alright, make a plan for training with 2 epochs|start_training
looked|now fine-tune using it, lr 1e-3|start_training
looked|ok go, lora|start_training
looked|could you now teach a model with that?|start_training
advised|great, start with the first one|start_training
advised|ok take the first option|start_training
advised|yes do that please|start_training
advised|I'll go with your suggestion|start_training
advised|let's use qlora then|start_training
planned|make it three epochs|start_training
planned|less epochs please|start_training
planned|I want a higher rank, 32|start_training
planned|can the rank be 4|start_training
planned|hm, I'd go for rank 4|start_training
planned|swap lora for dora|start_training
planned|switch to qlora|start_training
planned|replace reviews.csv with tickets.jsonl|start_training
planned|wrong file, it is tickets.jsonl|start_training
planned|no wait, not reviews.csv but tickets.jsonl|start_training
planned|lower the learning rate to 5e-5|start_training
planned|learning rate too high, take 1e-4|start_training
planned|16 for the batch|start_training
planned|and dropout 0.2|start_training
planned|plus weight decay of 0.05|start_training
planned|change epochs from 4 to 6|start_training
planned|one more epoch|start_training
planned|I'd like more epochs, say 8|start_training
planned|instead of 4 epochs do 1|start_training
planned|drop the rank to 2|start_training
planned|keep everything but use 2 epochs|start_training
planned|same but with full fine-tuning|start_training
planned|undo|
planned|epochs: 7|start_training
planned|yes but use the starter as base|start_training
planned|r=4, a=8|start_training
planned|we only have ten minutes|start_training
planned|it must end within an hour|start_training
planned|go down to 2 epochs|start_training
planned|the learning rate should be ten times smaller|start_training
planned|what does this plan cost in memory?|estimate_resources
planned|why lora?|explain
planned|why did you choose lora?|explain
planned|is rank 16 a lot?|explain
planned|what's in the data again?|inspect_dataset
planned|how many rows are there?|inspect_dataset
fresh|whats inside of reviews.csv|inspect_dataset
fresh|any dupes in reviews.csv|inspect_dataset
fresh|reviews.csv ok?|inspect_dataset
fresh|first have a peek at reviews.csv please|inspect_dataset
fresh|let me see some rows from reviews.csv|inspect_dataset
fresh|I'd like to know what columns reviews.csv has|inspect_dataset
fresh|Please tell what is the content of reviews.csv|inspect_dataset
fresh|count the rows in reviews.csv|inspect_dataset
fresh|how big is reviews.csv|inspect_dataset
fresh|what do you see in reviews.csv?|inspect_dataset
fresh|is there enough data in reviews.csv|inspect_dataset
fresh|quality check reviews.csv|inspect_dataset
fresh|do you understand the format of reviews.csv?|inspect_dataset
fresh|what labels are there in reviews.csv and how often|inspect_dataset
fresh|Don't do anything with reviews.csv except looking at it|inspect_dataset
fresh|split reviews.csv into train and validation, 20% validation|prepare_dataset
fresh|remove dupes from reviews.csv please|prepare_dataset
fresh|drop duplicate rows in reviews.csv|prepare_dataset
fresh|make reviews.csv clean|prepare_dataset
fresh|please deduplicate reviews.csv|prepare_dataset
fresh|reviews.csv: prep it with a 70/30 split|prepare_dataset
fresh|turn reviews.csv into a training dataset|prepare_dataset
looked|ok prepare the data|prepare_dataset
looked|split it 90/10|prepare_dataset
looked|clean that up please|prepare_dataset
fresh|suggest a setup for reviews.csv on an RTX 3060|recommend_method
fresh|I have a 6 GB gpu. How do I best tune on reviews.csv?|recommend_method
fresh|what's your advice for reviews.csv?|recommend_method
fresh|lora, qlora or dora for reviews.csv?|recommend_method
fresh|which is better for reviews.csv, lora or full|recommend_method
fresh|not sure what method to use for reviews.csv|recommend_method
fresh|for a phone app, how should I tune on reviews.csv?|recommend_method
empty|we want a model for legal contracts, only 300 examples, what would you do?|recommend_method
empty|what method is the cheapest?|recommend_method
fresh|memory needed for dora on reviews.csv?|estimate_resources
fresh|is 8 gigs enough for lora on reviews.csv|estimate_resources
fresh|how much vram do I need to fine-tune a 7b model with qlora|estimate_resources
fresh|time estimate for reviews.csv 10 epochs|estimate_resources
fresh|would full finetuning of reviews.csv blow my 4gb card?|estimate_resources
fresh|does batch size 64 fit?|estimate_resources
fresh|how many hours for reviews.csv with 20 epochs|estimate_resources
fresh|can my machine handle reviews.csv with rank 128|estimate_resources
empty|models?|list_models
empty|what other models could I take as base|list_models
empty|any model with apache licence?|list_models
empty|show the catalogue of base models|list_models
empty|which small models run on my laptop|list_models
empty|my machine?|describe_hardware
empty|got a gpu?|describe_hardware
empty|what gpu is this|describe_hardware
empty|how much memory does this machine have|describe_hardware
empty|is this computer strong enough for anything?|describe_hardware
empty|what is the difference between full finetuning and lora|explain
empty|pls explain learning rate|explain
empty|what does r mean in lora|explain
empty|how do adapters work|explain
empty|is dora better than lora?|explain
empty|why hold out data|explain
empty|what is deepspeed zero stage 2|explain
empty|qlora vs lora|explain
empty|when do I need gradient checkpointing?|explain
empty|I don't understand what perplexity means|explain
empty|what should the learning rate be|explain
empty|what epochs are?|explain
empty|Which techniques does the matrix list for chatbots?|explain
empty|How many epochs are usual?|explain
empty|what is LoRA good for|explain
empty|Can you tell me what quantization is?|explain
runs|show all runs|list_jobs
runs|what did I do so far|list_jobs
runs|my trainings please|list_jobs
runs|list the failed trainings|list_jobs
runs|how many runs do I have|list_jobs
runs|do I have any models already?|list_jobs
runs|give me the two latest runs|list_jobs
runs|what jobs are there|list_jobs
runs|runs?|list_jobs
runs|show me everything I trained|list_jobs
runs|which runs were with dora?|list_jobs
runs|info on tickets-lora-7 please|show_job
runs|tickets-lora-7?|show_job
runs|what was the result of tickets-lora-7|show_job
runs|how did tickets-dora-6 go|show_job
runs|what rank did tickets-lora-7 use|show_job
runs|what is wrong with reviews-lora-5|show_job
runs|what error did reviews-lora-5 have|show_job
runs|which one is better, tickets-lora-7 or tickets-dora-6|show_job
runs|show me the newest run|show_job
runs|results of my last training?|show_job
runs|where is the log of reviews-lora-5|show_job
live|hows it going|show_job
live|how is the job doing|show_job
live|eta?|show_job
live|how long will it still take|show_job
live|still running?|show_job
live|progress please|show_job
live|what step is it at|show_job
live|has it finished|show_job
live|is the loss going down?|show_job
live|please abort the training|cancel_job
live|cancel it|cancel_job
live|STOP|cancel_job
live|kill the job|cancel_job
live|that was a mistake, stop the run|cancel_job
live|end it now|cancel_job
live|can you cancel that?|cancel_job
live|no more, please stop training|cancel_job
live|break off the running training|cancel_job
cut|continue tickets-lora-8|resume_job
cut|restart the interrupted training|resume_job
cut|pick up where we left off|resume_job
cut|can it be continued? then do so|resume_job
cut|please resume the last run|resume_job
cut|let the interrupted run finish|resume_job
cut|keep going with tickets-lora-8|resume_job
runs|how well does it work|evaluate_model
runs|how did the model do compared to the base|evaluate_model
runs|run an evaluation|evaluate_model
runs|please assess the last model|evaluate_model
runs|check the accuracy of tickets-lora-7|evaluate_model
runs|test it on reviews.csv|evaluate_model
runs|what's the F1|evaluate_model
runs|does the tuned model beat the base?|evaluate_model
runs|did it get better?|evaluate_model
runs|was the training successful?|evaluate_model
runs|score tickets-dora-6 on tickets.jsonl|evaluate_model
runs|export as onnx int4|export_model
runs|onnx please|export_model
runs|make an int4 onnx of tickets-dora-6|export_model
runs|I want to download the model|export_model
runs|I need tickets-lora-7 for llama.cpp|export_model
runs|can you convert it to ONNX for my CPU?|export_model
runs|produce merged weights|export_model
runs|save adapter of last run|export_model
runs|package the model as onnx with fp16|export_model
runs|we want to deploy it, export please|export_model
runs|turn tickets-lora-7 into a gguf|export_model
runs|try: I was billed two times|try_model
runs|Try it with "my parcel is lost"|try_model
runs|ask tickets-lora-7: how do I return this|try_model
runs|what does it answer for "where is my refund"|try_model
runs|what would the tuned model say to my parcel never arrived|try_model
runs|prompt: the app crashes|try_model
runs|let me test the model: I cannot log in|try_model
runs|how does the model classify "I want to cancel"?|try_model
runs|run "the lamp is broken" through the model|try_model
runs|generate an answer for: where is my order|try_model
runs|test prompt: hello|try_model
runs|can you ask the model "who are you"|try_model
runs|Query the model with: stop all runs|try_model
runs|delete that failed run|forget
runs|please erase tickets-lora-7 completely|forget
runs|I don't need tickets-dora-6 anymore, remove it|forget
runs|free some disk space: delete tickets-lora-7|forget
runs|get rid of tickets-lora-7|forget
runs|wipe run 7|forget
runs|can you delete tickets-lora-7 please?|forget
runs|drop tickets-dora-6|forget
runs|trash the last run|forget
runs|delete all failed runs|forget
fresh|what are your capabilities|
fresh|how do I get started|
fresh|what is this?|
fresh|I love you|
fresh|who won the world cup|
fresh|can you write python code|
fresh|make me a sandwich|
fresh|translate hello to french|
fresh|cool|
fresh|ok|
fresh|hm|
fresh|do nothing|
fresh|?|
planned|ok thanks|
planned|cool, give me a minute|
planned|what now?|
planned|I need to check with my boss|
planned|delete the plan|
planned|forget it|
planned|cancel|
planned|drop it|
planned|wait|
planned|is it started?|
planned|has the training started?|
planned|did you start already?|
runs|please don't forget tickets-lora-7|
runs|I'd hate to delete tickets-lora-7|"""


@pytest.mark.parametrize("line", TABLE.splitlines())
def test_means_the_same_in_other_words(line: str) -> None:
    situation, said, tool = line.split("|")
    names = {name for name, _ in stage(situation).say(said)}
    if tool:
        assert tool in names
        assert not names & ({"start_training", "forget"} - {tool})
    else:
        assert not names & ACTS
